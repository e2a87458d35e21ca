-- Which files did a commit change?
--
-- Grain:  one row per commit and file
-- Source: bitbucket.commits, where they were read by git; Bitbucket's API does not list a commit's files
--         without a request for each
--
-- Rules:
-- * A commit's files are those that differ from its first parent, all of a root; a moved file is one removed
--   and one added. They are the same in every repository, so one record per hash is read.
-- * A binary, and a file whose lines were not counted, has no lines.
--
-- incremental: repository by _raw_data_params
WITH chosen AS (
    SELECT
        c.hash,
        c.files,
        r.raw_data_params
    FROM bitbucket.commits AS c
    INNER JOIN config.repositories AS r
        ON r.connection_id = c._connection_id AND r.repository_uuid = c._repository_uuid
    WHERE r.code AND c.hash IS NOT NULL AND array_length(c.files) > 0
    QUALIFY row_number() OVER (PARTITION BY c.hash ORDER BY r.connection_id, r.full_name) = 1
),

positions AS (
    SELECT
        hash,
        files,
        raw_data_params,
        unnest(generate_series(1, cast(array_length(files) AS bigint))) AS place
    FROM chosen
),

changed AS (
    SELECT
        hash,
        raw_data_params,
        files[place]['path'] AS file_path,
        coalesce(files[place]['lines_added'], 0) AS additions,
        coalesce(files[place]['lines_removed'], 0) AS deletions
    FROM positions
)

SELECT
    hash || ':' || file_path AS id,
    hash AS commit_sha,
    file_path,
    cast(sum(additions) AS bigint) AS additions,
    cast(sum(deletions) AS bigint) AS deletions,
    raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_commits' AS _raw_data_table
FROM changed
WHERE file_path IS NOT NULL
GROUP BY hash, file_path, raw_data_params
