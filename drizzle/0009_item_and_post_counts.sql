-- The counts are kept by triggers, so that nothing that changes items or posts can forget them. A connection adds to a
-- row of its own (as far as sixteen go), so that writers in parallel do not wait for each other.
-- Whoever changes something between the counting and the triggers would be forgotten.
LOCK TABLE items, posts IN SHARE ROW EXCLUSIVE MODE;
--> statement-breakpoint
INSERT INTO item_counts (user_id, slot, draft, published, archived)
SELECT user_id, 0, count(*) FILTER (WHERE status = 'draft'), count(*) FILTER (WHERE status = 'published'),
  count(*) FILTER (WHERE status = 'archived')
FROM items WHERE deleted_at IS NULL GROUP BY user_id;
--> statement-breakpoint
-- What takes long, such as an import, adds to other rows than those which the owner's writes of a moment wait for.
CREATE FUNCTION count_slot() RETURNS smallint LANGUAGE sql AS $$
  SELECT (pg_backend_pid() % 16 + CASE current_setting('plinth.takes_long', true) WHEN 'yes' THEN 16 ELSE 0 END)::smallint
$$;
--> statement-breakpoint
CREATE FUNCTION count_inserted_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO item_counts AS counts (user_id, slot, draft, published, archived)
  SELECT user_id, count_slot(), count(*) FILTER (WHERE status = 'draft'),
    count(*) FILTER (WHERE status = 'published'), count(*) FILTER (WHERE status = 'archived')
  FROM inserted WHERE deleted_at IS NULL GROUP BY user_id ORDER BY user_id
  ON CONFLICT (user_id, slot) DO UPDATE SET draft = counts.draft + excluded.draft,
    published = counts.published + excluded.published, archived = counts.archived + excluded.archived;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION count_changed_item() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  was text := CASE WHEN old.deleted_at IS NULL THEN old.status END;
  becomes text := CASE WHEN new.deleted_at IS NULL THEN new.status END;
BEGIN
  INSERT INTO item_counts AS counts (user_id, slot, draft, published, archived)
  VALUES (new.user_id, count_slot(),
    (becomes IS NOT DISTINCT FROM 'draft')::int - (was IS NOT DISTINCT FROM 'draft')::int,
    (becomes IS NOT DISTINCT FROM 'published')::int - (was IS NOT DISTINCT FROM 'published')::int,
    (becomes IS NOT DISTINCT FROM 'archived')::int - (was IS NOT DISTINCT FROM 'archived')::int)
  ON CONFLICT (user_id, slot) DO UPDATE SET draft = counts.draft + excluded.draft,
    published = counts.published + excluded.published, archived = counts.archived + excluded.archived;
  RETURN NULL;
END $$;
--> statement-breakpoint
-- Only items that were not marked as deleted before. When a user is removed with all that is theirs, there is no row to
-- subtract from any more, and none may be made.
CREATE FUNCTION count_removed_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE item_counts AS counts SET draft = counts.draft - gone.draft, published = counts.published - gone.published,
    archived = counts.archived - gone.archived
  FROM (
    SELECT user_id, count(*) FILTER (WHERE status = 'draft') AS draft,
      count(*) FILTER (WHERE status = 'published') AS published, count(*) FILTER (WHERE status = 'archived') AS archived
    FROM removed WHERE deleted_at IS NULL GROUP BY user_id
  ) AS gone
  WHERE counts.user_id = gone.user_id
    AND counts.slot = (SELECT min(slot) FROM item_counts WHERE item_counts.user_id = gone.user_id);
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER items_count_inserted AFTER INSERT ON items
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION count_inserted_items();
--> statement-breakpoint
CREATE TRIGGER items_count_changed AFTER UPDATE OF status, deleted_at ON items FOR EACH ROW
WHEN (old.status <> new.status OR (old.deleted_at IS NULL) <> (new.deleted_at IS NULL))
EXECUTE FUNCTION count_changed_item();
--> statement-breakpoint
CREATE TRIGGER items_count_removed AFTER DELETE ON items
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_removed_items();
--> statement-breakpoint
INSERT INTO post_counts (slot, posts) SELECT 0, count(*) FROM posts WHERE deleted_at IS NULL;
--> statement-breakpoint
CREATE FUNCTION count_posts(difference bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO post_counts AS counts (slot, posts) SELECT count_slot(), difference WHERE difference <> 0
  ON CONFLICT (slot) DO UPDATE SET posts = counts.posts + excluded.posts
$$;
--> statement-breakpoint
CREATE FUNCTION count_inserted_posts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM count_posts((SELECT count(*) FROM inserted WHERE deleted_at IS NULL));
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION count_changed_post() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM count_posts(CASE WHEN new.deleted_at IS NULL THEN 1 ELSE -1 END);
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE FUNCTION count_removed_posts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM count_posts((SELECT -count(*) FROM removed WHERE deleted_at IS NULL));
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER posts_count_inserted AFTER INSERT ON posts
REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION count_inserted_posts();
--> statement-breakpoint
CREATE TRIGGER posts_count_changed AFTER UPDATE OF deleted_at ON posts FOR EACH ROW
WHEN ((old.deleted_at IS NULL) <> (new.deleted_at IS NULL)) EXECUTE FUNCTION count_changed_post();
--> statement-breakpoint
CREATE TRIGGER posts_count_removed AFTER DELETE ON posts
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_removed_posts();
--> statement-breakpoint
-- Without it, the planner takes every owner to have the same share of each status, and walks a million published items
-- to find the ten archived ones.
CREATE STATISTICS items_status_of_user (mcv) ON user_id, status FROM items;
