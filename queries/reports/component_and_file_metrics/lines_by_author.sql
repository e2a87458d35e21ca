-- Who adds the most lines?
-- Grain: one row per author
-- Dashboard: Component and File-level Metrics, lines of code distribution by author
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   authored not before this
-- param: to timestamp = null   authored before this
-- param: n bigint = 10   how many
-- Note: Bitbucket's API does not provide line counts; they come from domain.commit_files, which git or a [[table]] can
-- fill, or else from domain.commits. An author without any has no lines instead of 0; "commits sized" counts those that
-- have them.
-- Note: a commit in two of the chosen repositories counts once; DevLake adds its lines twice.
-- Note: an author is the Bitbucket account, or else the e-mail address; DevLake groups by name and e-mail, so a person
-- with two addresses is two.

WITH commits AS (
    SELECT
        c.sha,
        c.author_name,
        c.additions,
        c.deletions,
        CASE WHEN c.author_account_id <> '' THEN c.author_account_id ELSE lower(c.author_email) END AS author_key
    FROM domain.commits AS c
    WHERE ($from IS NULL OR c.authored_date >= $from)
        AND ($to IS NULL OR c.authored_date < $to)
        AND c.sha IN (
            SELECT rc.commit_sha
            FROM domain.repo_commits AS rc
            LEFT JOIN domain.repos AS r ON r.id = rc.repo_id
            LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = rc.repo_id
            WHERE ($repo IS NULL OR list_contains($repo, r.name))
                AND ($project IS NULL OR list_contains($project, m.project_name))
        )
),

authors AS (
    SELECT
        c.author_key,
        coalesce(min(nullif(u.name, '')), min(nullif(a.full_name, '')), min(c.author_name)) AS author
    FROM commits AS c
    LEFT JOIN domain.accounts AS a ON a.id = c.author_key
    LEFT JOIN domain.user_accounts AS ua ON ua.account_id = c.author_key
    LEFT JOIN domain.users AS u ON u.id = ua.user_id
    GROUP BY c.author_key
),

lines AS (
    SELECT
        c.sha,
        CASE
            WHEN f.additions + f.deletions > 0 THEN f.additions
            WHEN c.additions + c.deletions > 0 THEN c.additions
        END AS additions,
        CASE
            WHEN f.additions + f.deletions > 0 THEN f.deletions
            WHEN c.additions + c.deletions > 0 THEN c.deletions
        END AS deletions
    FROM commits AS c
    LEFT JOIN (
        SELECT
            commit_sha,
            sum(additions) AS additions,
            sum(deletions) AS deletions
        FROM domain.commit_files
        GROUP BY commit_sha
    ) AS f ON f.commit_sha = c.sha
)

SELECT
    a.author,
    sum(l.additions) - sum(l.deletions) AS "net lines",
    sum(l.additions) AS added,
    sum(l.deletions) AS deleted,
    count(*) AS commits,
    count(l.additions) AS "commits sized",
    CASE
        WHEN count(l.additions) = 0 THEN 'no line counts: `commits = "git"` or a [[table]] provides them'
        ELSE ''
    END AS note
FROM commits AS c
INNER JOIN authors AS a ON a.author_key = c.author_key
INNER JOIN lines AS l ON l.sha = c.sha
GROUP BY c.author_key, a.author
ORDER BY "net lines" DESC NULLS LAST, a.author, c.author_key
LIMIT $n
