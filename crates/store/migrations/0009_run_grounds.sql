-- On what a run's answers rest since an equal request joined it last: a document that only the server reads.
-- NULL: on what they rested when it began.
ALTER TABLE runs ADD COLUMN grounds TEXT;
