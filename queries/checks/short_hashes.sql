-- Which pull requests keep an abbreviated hash, because no single collected commit begins with it?
--
-- Grain:  one row per repository and kind
-- Source: domain.pull_requests, bitbucket.commits, bitbucket.pull_request_commits
WITH short AS (
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
),

known AS (
    SELECT
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.commits
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        hash
    FROM bitbucket.pull_request_commits
),

matched AS (
    SELECT
        s.repository,
        s.sha,
        count(DISTINCT k.hash) AS n
    FROM named AS s
    INNER JOIN config.repositories AS r ON r.full_name = s.repository
    INNER JOIN known AS k
        ON k._connection_id = r.connection_id AND k._repository_uuid = r.repository_uuid
            AND substr(k.hash, 1, 12) = s.sha
    GROUP BY s.repository, s.sha
)

SELECT
    s.repository,
    s.what || CASE WHEN m.n > 1 THEN ': abbreviated hash is ambiguous'
        ELSE ': abbreviated hash is not among the collected commits'
    END AS kind,
    count(*) AS n,
    FALSE AS is_actionable
FROM named AS s
LEFT JOIN matched AS m ON m.repository = s.repository AND m.sha = s.sha
GROUP BY s.repository, s.what, CASE WHEN m.n > 1 THEN ': abbreviated hash is ambiguous'
    ELSE ': abbreviated hash is not among the collected commits'
END
