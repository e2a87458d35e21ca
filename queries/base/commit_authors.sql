-- Which e-mail addresses do the authors of commits have, and which accounts?
--
-- Grain:  one row per connection, repository, e-mail and account
-- Source: bitbucket.commits, bitbucket.pull_request_commits, bitbucket.branches, bitbucket.tags
--
-- Rules:
-- * The e-mail is what follows the first "<" of the author's line, in lower case.
--
-- incremental: repository by repository_uuid
-- stored
WITH authors AS (
    SELECT
        _connection_id,
        _repository_uuid,
        author
    FROM bitbucket.commits
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        author
    FROM bitbucket.pull_request_commits
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        target['author'] AS author
    FROM bitbucket.branches
    UNION ALL
    SELECT
        _connection_id,
        _repository_uuid,
        target['author'] AS author
    FROM bitbucket.tags
),

addresses AS (
    SELECT
        _connection_id,
        _repository_uuid,
        lower(regexp_replace(split_part(author['raw'], '<', 2), '[>\s]+$', '')) AS email,
        nullif(author['user']['uuid'], '') AS uuid,
        nullif(author['user']['account_id'], '') AS account_id
    FROM authors
)

SELECT DISTINCT
    _connection_id AS connection_id,
    _repository_uuid AS repository_uuid,
    email,
    uuid,
    account_id
FROM addresses
WHERE email <> ''
