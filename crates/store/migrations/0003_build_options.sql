-- How a livepatch is to be made: adaptations that are switched off, the engine.
ALTER TABLE builds ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
