-- Owners stand beside trigrams in the index that searches use. Trusted, like pg_trgm: the owner of the database may create it.
CREATE EXTENSION IF NOT EXISTS btree_gin;
