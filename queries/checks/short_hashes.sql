-- Which pull requests keep an abbreviated hash, because no single collected commit begins with it?
--
-- Grain:  one row per repository and kind
-- Source: domain.pull_requests, bitbucket.commits, bitbucket.pull_request_commits
WITH known AS (
    SELECT
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.commits WHERE hash IS NOT NULL
    UNION
    SELECT
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.pull_request_commits WHERE hash IS NOT NULL
),

prefixes AS (
    SELECT
        r.full_name,
        substr(k.hash, 1, 12) AS prefix,
        count(*) AS n
    FROM known AS k
    INNER JOIN config.repositories AS r
        ON r.connection_id = k._connection_id AND r.repository_uuid = k._repository_uuid
    GROUP BY r.full_name, substr(k.hash, 1, 12)
),

short AS (
    SELECT
        'merge commit' AS what,
        base_repo_id,
        merge_commit_sha AS sha
    FROM domain.pull_requests
    UNION ALL
    SELECT
        'source commit',
        base_repo_id,
        head_commit_sha
    FROM domain.pull_requests
    UNION ALL
    SELECT
        'destination commit',
        base_repo_id,
        base_commit_sha
    FROM domain.pull_requests
),

named AS (
    SELECT
        what,
        split_part(base_repo_id, ':', 4) AS repository,
        sha
    FROM short
    WHERE sha <> '' AND length(sha) < 40 AND starts_with(base_repo_id, 'bitbucket:')
)

SELECT
    s.repository,
    s.what || CASE WHEN p.n > 1 THEN ': abbreviated hash is ambiguous'
        ELSE ': abbreviated hash is not among the collected commits'
    END AS kind,
    count(*) AS n,
    FALSE AS is_actionable
FROM named AS s
LEFT JOIN prefixes AS p ON p.full_name = s.repository AND p.prefix = s.sha
GROUP BY s.repository, s.what, CASE WHEN p.n > 1 THEN ': abbreviated hash is ambiguous'
    ELSE ': abbreviated hash is not among the collected commits'
END
