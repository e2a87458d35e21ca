-- Which commits and pull requests do descriptions, titles and commit messages say they revert?
--
-- Grain:  one row per text and commit or pull request that it names; one without both where a text only reads as a revert
-- Source: domain.pull_requests, domain.pull_request_commits, domain.commits, domain.repo_commits
--
-- Rules:
-- * Texts are title and description of merged pull requests, and the messages of all commits, in each merged pull
--   request that lists the commit or has it as its merge commit.
-- * "reverts commit …" names every commit that follows (commits A, B and C), in full or by seven characters or more
--   where exactly one commit of the repository begins with them. "reverts pull request #12" names that one. Quoted
--   lines (> …) name nothing.
-- * A title such as Revert "Fix the cart" names the last pull request of that title merged before this one was opened;
--   a title such as Revert "…" (pull request #12) the one of that number; Reapply "…" the revert of that title.
-- * wording: Revert "…" reads as a revert, Reapply "…" as a reapply, and each further Revert inverts it.
--
-- incremental: repository by repo_id
WITH merged AS (
    SELECT
        id,
        base_repo_id,
        pull_request_key,
        title,
        description,
        created_date,
        merged_date,
        CASE WHEN merge_commit_sha_match IN ('ambiguous', 'missing') THEN '' ELSE merge_commit_sha END
            AS merge_commit_sha
    FROM domain.pull_requests
    WHERE merged_date IS NOT NULL
),

speaking_commits AS (
    SELECT
        sha,
        message
    FROM domain.commits
    WHERE regexp_like(message, '(?i)\breverts\s+(commit|pull request|pr)s?\b|^(revert|re-?apply|re-?land):?\s+"')
),

holders AS (
    SELECT
        base_repo_id AS repo_id,
        id,
        merge_commit_sha AS commit_sha,
        TRUE AS is_merge
    FROM merged
    UNION
    SELECT
        p.base_repo_id AS repo_id,
        p.id,
        l.commit_sha,
        FALSE AS is_merge
    FROM merged AS p
    INNER JOIN domain.pull_request_commits AS l ON l.pull_request_id = p.id
    WHERE l.commit_sha <> p.merge_commit_sha
),

texts AS (
    SELECT
        base_repo_id AS repo_id,
        id AS pull_request_id,
        '' AS commit_sha,
        'description' AS source,
        title AS subject,
        description AS body
    FROM merged
    UNION ALL
    SELECT
        h.repo_id,
        h.id AS pull_request_id,
        c.sha AS commit_sha,
        CASE WHEN h.is_merge THEN 'merge commit' ELSE 'commit' END AS source,
        split_part(c.message, chr(10), 1) AS subject,
        c.message AS body
    FROM speaking_commits AS c
    INNER JOIN holders AS h ON h.commit_sha = c.sha
    UNION ALL
    SELECT
        r.repo_id,
        '' AS pull_request_id,
        c.sha AS commit_sha,
        'commit' AS source,
        split_part(c.message, chr(10), 1) AS subject,
        c.message AS body
    FROM speaking_commits AS c
    INNER JOIN domain.repo_commits AS r ON r.commit_sha = c.sha
    LEFT JOIN holders AS h ON h.repo_id = r.repo_id AND h.commit_sha = r.commit_sha
    WHERE h.id IS NULL
),

prefixed AS (
    SELECT
        t.*,
        regexp_extract_all(subject, '(?i)^(?:(?:revert|re-?apply|re-?land):?\s+")+', 0)[1] AS prefix
    FROM texts AS t
),

worded AS (
    SELECT
        p.* EXCLUDE (prefix),
        CASE WHEN prefix IS NULL THEN NULL
            WHEN (length(prefix) - length(replace(lower(prefix), 'revert', ''))) / 6 % 2 = 0 THEN 'reapply'
            ELSE 'revert'
        END AS wording
    FROM prefixed AS p
),

spoken AS (
    SELECT
        repo_id,
        pull_request_id,
        commit_sha,
        source,
        wording,
        array_to_string(regexp_extract_all(body, '(?m)^[ \t]*([^>\s].*)$', 1), chr(10)) AS body
    FROM worded
    WHERE regexp_like(body, '(?i)\breverts\s+(commit|pull request|pr)s?\b')
    UNION ALL
    SELECT
        repo_id,
        pull_request_id,
        commit_sha,
        'title' AS source,
        wording,
        regexp_replace(subject, '(?i)^revert\s+', 'reverts ') AS body
    FROM worded
    WHERE source = 'description' AND regexp_like(subject, '(?i)^revert\s+(commit|pull request|pr)s?\b')
),

-- a hash may have its subject and date behind it in brackets, as git revert --reference writes them
clauses AS (
    SELECT
        s.* EXCLUDE (body),
        'commit' AS kind,
        unnest(regexp_extract_all(
            body,
            '(?i)\breverts\s+commits?:?(?:(?:[\s,;&+*-]|\band\b|\bcommits?\b)+[`"'']?\b[0-9a-f]{7,40}\b[`"'']?(?:\s*\((?:[^()]*|[^\n]*?, \d{4}-\d\d-\d\d)\))?)+', -- noqa: LT05
            0
        )) AS clause
    FROM spoken AS s
    UNION ALL
    SELECT
        s.* EXCLUDE (body),
        'pull request' AS kind,
        unnest(regexp_extract_all(
            body,
            '(?i)\breverts\s+(?:pull requests?|prs?):?(?:(?:[\s,;&+*-]|\band\b|\bpull requests?\b|\bprs?\b)+#\d{1,9})+',
            0
        )) AS clause
    FROM spoken AS s
),

mentions AS (
    SELECT
        c.* EXCLUDE (clause),
        unnest(regexp_extract_all(
            lower(clause), '\b([0-9a-f]{7,40})\b[`"'']?(?:\s*\((?:[^()]*|[^\n]*?, \d{4}-\d\d-\d\d)\))?', 1
        )) AS mention
    FROM clauses AS c
    WHERE kind = 'commit'
    UNION ALL
    SELECT
        c.* EXCLUDE (clause),
        unnest(regexp_extract_all(clause, '#(\d{1,9})', 1)) AS mention
    FROM clauses AS c
    WHERE kind = 'pull request'
),

-- seven characters are git's shortest abbreviation: equality on them finds the few candidates
full_hashes AS (
    SELECT
        m.repo_id,
        m.mention,
        min(r.commit_sha) AS sha
    FROM (
        SELECT DISTINCT
            repo_id,
            mention
        FROM mentions WHERE kind = 'commit' AND length(mention) < 40
    ) AS m
    INNER JOIN domain.repo_commits AS r
        ON r.repo_id = m.repo_id
            AND substr(r.commit_sha, 1, 7) = substr(m.mention, 1, 7)
            AND starts_with(r.commit_sha, m.mention)
    GROUP BY m.repo_id, m.mention
    HAVING count(DISTINCT r.commit_sha) = 1
),

titles AS (
    SELECT
        p.id,
        p.base_repo_id,
        coalesce(p.created_date, p.merged_date) AS opened,
        CASE WHEN regexp_like(p.title, '(?is)^revert.*pull request #\d{1,9}\)')
                THEN try_cast(regexp_replace(p.title, '(?is)^revert.*pull request #(\d{1,9})\).*$', '\1') AS bigint)
        END AS reverted_key,
        CASE WHEN regexp_like(p.title, '(?is)^revert:? ".+"')
                THEN regexp_replace(p.title, '(?is)^revert:? "(.+)".*$', '\1')
            WHEN regexp_like(p.title, '(?is)^(re-?apply|re-?land):? ".+"')
                THEN 'Revert ' || regexp_replace(p.title, '(?is)^(?:re-?apply|re-?land):? (".+").*$', '\1')
        END AS reverted_title
    FROM merged AS p
    WHERE regexp_like(p.title, '(?i)^(revert|re-?apply|re-?land)')
),

title_targets AS (
    SELECT
        t.id,
        p.id AS reverted_id
    FROM titles AS t
    INNER JOIN merged AS p ON p.base_repo_id = t.base_repo_id AND p.pull_request_key = t.reverted_key
    UNION
    SELECT
        id,
        reverted_id
    FROM (
        SELECT
            t.id,
            p.id AS reverted_id
        FROM titles AS t
        INNER JOIN merged AS p ON p.base_repo_id = t.base_repo_id AND p.title = t.reverted_title
        WHERE p.merged_date <= t.opened
        QUALIFY row_number() OVER (PARTITION BY t.id ORDER BY p.merged_date DESC NULLS LAST, p.id) = 1
    ) AS by_title
),

found AS (
    SELECT
        m.repo_id,
        m.pull_request_id,
        m.commit_sha,
        m.source,
        m.wording,
        coalesce(f.sha, m.mention) AS reverted_commit_sha,
        coalesce(p.id, '') AS reverted_pull_request_id
    FROM mentions AS m
    LEFT JOIN full_hashes AS f ON f.repo_id = m.repo_id AND f.mention = m.mention
    LEFT JOIN merged AS p ON p.base_repo_id = m.repo_id AND p.merge_commit_sha = coalesce(f.sha, m.mention)
    WHERE m.kind = 'commit' AND (length(m.mention) = 40 OR f.sha IS NOT NULL)
    UNION
    SELECT
        m.repo_id,
        m.pull_request_id,
        m.commit_sha,
        m.source,
        m.wording,
        p.merge_commit_sha AS reverted_commit_sha,
        p.id AS reverted_pull_request_id
    FROM mentions AS m
    INNER JOIN merged AS p ON p.base_repo_id = m.repo_id AND p.pull_request_key = try_cast(m.mention AS bigint)
    WHERE m.kind = 'pull request'
    UNION
    SELECT
        w.repo_id,
        w.pull_request_id,
        w.commit_sha,
        'title' AS source,
        w.wording,
        p.merge_commit_sha AS reverted_commit_sha,
        p.id AS reverted_pull_request_id
    FROM worded AS w
    INNER JOIN title_targets AS t ON t.id = w.pull_request_id
    INNER JOIN merged AS p ON p.id = t.reverted_id
    WHERE w.source = 'description'
    UNION
    SELECT
        repo_id,
        pull_request_id,
        commit_sha,
        CASE WHEN source = 'description' THEN 'title' ELSE source END AS source,
        wording,
        '' AS reverted_commit_sha,
        '' AS reverted_pull_request_id
    FROM worded
    WHERE wording IS NOT NULL
)

SELECT
    repo_id,
    pull_request_id,
    commit_sha,
    source,
    reverted_commit_sha,
    reverted_pull_request_id,
    wording
FROM found
QUALIFY reverted_commit_sha <> '' OR reverted_pull_request_id <> ''
    OR count(*) OVER (PARTITION BY repo_id, pull_request_id, commit_sha) = 1
