CREATE TABLE "item_counts" (
	"user_id" uuid NOT NULL,
	"slot" smallint NOT NULL,
	"draft" bigint DEFAULT 0 NOT NULL,
	"published" bigint DEFAULT 0 NOT NULL,
	"archived" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "item_counts_pkey" PRIMARY KEY("user_id","slot")
);
--> statement-breakpoint
CREATE TABLE "post_counts" (
	"slot" smallint PRIMARY KEY NOT NULL,
	"posts" bigint DEFAULT 0 NOT NULL
);
--> statement-breakpoint
DROP INDEX "items_by_user";--> statement-breakpoint
ALTER TABLE "item_counts" ADD CONSTRAINT "item_counts_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "items_sorted_by_created_at" ON "items" USING btree ("user_id","created_at","id") WHERE "items"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "items_sorted_by_updated_at" ON "items" USING btree ("user_id","updated_at","id") WHERE "items"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "items_sorted_by_title" ON "items" USING btree ("user_id","title","id") WHERE "items"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "items_sorted_by_price" ON "items" USING btree ("user_id","price","id") WHERE "items"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "items_sorted_by_status" ON "items" USING btree ("user_id","status","id") WHERE "items"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "items_by_content" ON "items" USING gin ("user_id","title" gin_trgm_ops,"description" gin_trgm_ops,"metadata" jsonb_path_ops) WITH (gin_pending_list_limit=512) WHERE "items"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "items_deleted" ON "items" USING btree ("deleted_at") WHERE "items"."deleted_at" is not null;--> statement-breakpoint
CREATE INDEX "posts_sorted_by_created_at" ON "posts" USING btree ("created_at","id") WHERE "posts"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "posts_by_content" ON "posts" USING gin ("title" gin_trgm_ops,"content" gin_trgm_ops) WITH (gin_pending_list_limit=512) WHERE "posts"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "posts_deleted" ON "posts" USING btree ("deleted_at") WHERE "posts"."deleted_at" is not null;--> statement-breakpoint
CREATE INDEX "items_by_user" ON "items" USING btree ("user_id","id");