-- Which files did a commit change?
--
-- Grain:  one row per commit and file; none unless a [[table]] gives them
-- Source: none: Bitbucket's API does not tell a commit's files without a request for each
SELECT
    '' AS id,
    '' AS commit_sha,
    '' AS file_path,
    0 AS additions,
    0 AS deletions,
    '' AS _raw_data_params,
    '' AS _raw_data_table
WHERE false
