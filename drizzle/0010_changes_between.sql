-- What an event says of a change, where one statement makes the change and records it: the fields that differ.
CREATE FUNCTION changes_between(before jsonb, after jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(jsonb_object_agg(field, jsonb_build_array(before -> field, after -> field)), '{}')
  FROM jsonb_object_keys(coalesce(after, before)) AS field
  WHERE coalesce(before -> field, 'null') <> coalesce(after -> field, 'null')
$$;
