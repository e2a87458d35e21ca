-- Which board is an issue on?
--
-- Grain:  one row per issue; an issue is on the board of its repository.
-- Source: bitbucket.issues, config.repositories.
--
-- Rules:
-- * The same issues as in domain.issues.
--
-- incremental: repository by board_id

SELECT
    s.repo_id AS board_id,
    concat(
        'bitbucket:BitbucketIssue:', cast(s.connection_id AS varchar), ':', s.full_name, ':', cast(i.id AS varchar)
    ) AS issue_id,
    s.raw_data_params AS _raw_data_params,
    '_raw_bitbucket_api_issues' AS _raw_data_table
FROM bitbucket.issues AS i
INNER JOIN config.repositories AS s
    ON s.connection_id = i._connection_id AND s.repository_uuid = i._repository_uuid
WHERE s.issues AND i.id <> 0 AND coalesce(i.type, 'issue') = 'issue'
