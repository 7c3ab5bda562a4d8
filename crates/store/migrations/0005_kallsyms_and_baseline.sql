-- The digest of the running kernel's symbols, and the patches that are compiled into it.
ALTER TABLE builds ADD COLUMN kallsyms TEXT REFERENCES blobs (digest);
ALTER TABLE builds ADD COLUMN baseline TEXT NOT NULL DEFAULT '[]';
