-- A constant that is 0 until the database is restored into a server whose transactions count from less (src/events/clock.ts).
CREATE FUNCTION event_clock_offset() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT 0::bigint $$;
--> statement-breakpoint
-- The place of this transaction among those that record events.
CREATE FUNCTION event_clock() RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT pg_current_xact_id()::text::bigint + event_clock_offset()
$$;
--> statement-breakpoint
-- Every transaction before this one has ended: what is recorded below it is complete, and nothing will be added to it.
CREATE FUNCTION event_horizon() RETURNS bigint LANGUAGE sql STABLE AS $$
	SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + event_clock_offset()
$$;
--> statement-breakpoint
CREATE TABLE "events" (
	"id" uuid PRIMARY KEY NOT NULL,
	"transaction_id" bigint DEFAULT event_clock() NOT NULL,
	"type" text NOT NULL,
	"actor_type" text NOT NULL,
	"actor_id" uuid,
	"owner_id" uuid,
	"subject_type" text NOT NULL,
	"subject_id" uuid,
	"request_id" text,
	"ip" text,
	"user_agent" text,
	"changes" jsonb NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
) PARTITION BY RANGE ("id");
--> statement-breakpoint
CREATE INDEX "events_in_order" ON "events" USING btree ("transaction_id","id");--> statement-breakpoint
CREATE INDEX "events_by_owner" ON "events" USING btree ("owner_id","id");--> statement-breakpoint
CREATE INDEX "events_by_subject" ON "events" USING btree ("subject_id","id");--> statement-breakpoint
CREATE INDEX "events_by_other_actor" ON "events" USING btree ("actor_id","id") WHERE "events"."actor_id" is distinct from "events"."owner_id";--> statement-breakpoint
CREATE INDEX "events_by_type" ON "events" USING btree ("type","id");--> statement-breakpoint
CREATE INDEX "events_by_request" ON "events" USING hash ("request_id");
--> statement-breakpoint
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END $$;
--> statement-breakpoint
-- Of rows, each partition inherits this.
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON "events" FOR EACH ROW EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON "events" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
--> statement-breakpoint
-- What fits no month's partition, so that recording never fails. The months are made by src/events/partitions.ts.
CREATE TABLE "events_rest" PARTITION OF "events" DEFAULT;
--> statement-breakpoint
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON "events_rest" FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
