-- On which weekdays are lines changed?
-- Grain: one row per weekday
-- Dashboard: Component and File-level Metrics, lines of code distribution
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   authored not before this
-- param: to timestamp = null   authored before this
-- Note: weekdays are those of UTC, and one without commits shows as 0 where any commit has line counts.
-- Note: Bitbucket's API does not provide line counts; they come from domain.commit_files, which git or a [[table]] can
-- fill, or else from domain.commits. Without any there are no lines instead of 0; "commits sized" counts those that have
-- them.
-- Note: a commit in two of the chosen repositories counts once; DevLake adds its lines twice.

WITH commits AS (
    SELECT
        c.sha,
        c.authored_date,
        c.additions,
        c.deletions
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
),

placed AS (
    SELECT
        c.sha,
        1 + cast(floor(
            (extract(EPOCH FROM c.authored_date) - extract(EPOCH FROM date_trunc('week', c.authored_date))) / 86400
        ) AS bigint) AS place
    FROM commits AS c
),

weekdays AS (
    SELECT
        1 AS place,
        'Monday' AS weekday
    UNION ALL
    SELECT
        2,
        'Tuesday'
    UNION ALL
    SELECT
        3,
        'Wednesday'
    UNION ALL
    SELECT
        4,
        'Thursday'
    UNION ALL
    SELECT
        5,
        'Friday'
    UNION ALL
    SELECT
        6,
        'Saturday'
    UNION ALL
    SELECT
        7,
        'Sunday'
),

sums AS (
    SELECT
        w.place,
        w.weekday,
        coalesce(sum(l.additions), 0) AS added,
        coalesce(sum(l.deletions), 0) AS deleted,
        count(p.sha) AS commits,
        count(l.additions) AS sized
    FROM weekdays AS w
    LEFT JOIN placed AS p ON p.place = w.place
    LEFT JOIN lines AS l ON l.sha = p.sha
    GROUP BY w.place, w.weekday
),

known AS (
    SELECT
        *,
        sum(sized) OVER () > 0 AND (sized > 0 OR commits = 0) AS is_known
    FROM sums
)

SELECT
    weekday,
    CASE WHEN is_known THEN added - deleted END AS "net lines",
    CASE WHEN is_known THEN added END AS added,
    CASE WHEN is_known THEN deleted END AS deleted,
    commits,
    sized AS "commits sized",
    CASE WHEN is_known THEN '' ELSE 'no line counts: `commits = "git"` or a [[table]] provides them' END AS note
FROM known
ORDER BY place
