CREATE INDEX "users_sorted_by_created_at" ON "users" USING btree ("created_at","id");--> statement-breakpoint
CREATE INDEX "users_sorted_by_updated_at" ON "users" USING btree ("updated_at","id");--> statement-breakpoint
CREATE INDEX "users_sorted_by_full_name" ON "users" USING btree ("full_name","id");--> statement-breakpoint
CREATE INDEX "users_sorted_by_last_login_at" ON "users" USING btree (coalesce("last_login_at", '-infinity'),"id");