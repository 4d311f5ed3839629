CREATE TABLE "audit_seals" (
	"number" integer PRIMARY KEY NOT NULL,
	"event_count" integer NOT NULL,
	"last_transaction_id" bigint NOT NULL,
	"last_id" uuid NOT NULL,
	"oldest_id" uuid NOT NULL,
	"newest_id" uuid NOT NULL,
	"entries" "bytea",
	"entries_hash" "bytea" NOT NULL,
	"previous_hash" "bytea" NOT NULL,
	"hash" "bytea" NOT NULL,
	"expired_before" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TRIGGER audit_seals_append_only BEFORE DELETE ON "audit_seals" FOR EACH ROW EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
-- Retention may give up the entries and say so, and take neither back; what the chain is made of stays.
CREATE TRIGGER audit_seals_unchanged BEFORE UPDATE ON "audit_seals" FOR EACH ROW
	WHEN (
		to_jsonb(OLD) - 'entries' - 'expired_before' IS DISTINCT FROM to_jsonb(NEW) - 'entries' - 'expired_before'
		OR (NEW.entries IS NOT NULL AND NEW.entries IS DISTINCT FROM OLD.entries)
		OR NEW.expired_before IS NULL
		OR NEW.expired_before < OLD.expired_before
	)
	EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
CREATE TRIGGER audit_seals_no_truncate BEFORE TRUNCATE ON "audit_seals" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
