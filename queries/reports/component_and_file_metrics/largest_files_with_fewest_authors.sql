-- Which large files have the fewest authors?
-- Grain: one row per file
-- Dashboard: Component and File-level Metrics, [Selected Files] Largest files with lowest number of authors
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: path varchar = null   only files whose path this regular expression finds
-- param: n bigint = 10   how many
-- Note: a file's size is the sum of its added less its deleted lines over all known commits; DevLake takes the most
-- that one commit added, which is no size.
-- Note: Bitbucket's API does not list changed files: no rows unless commits are read by git, or a [[table]] fills
-- domain.commit_files.
-- Note: an author is the Bitbucket account, or else the e-mail address; DevLake groups by name and e-mail, so a person
-- with two addresses is two.

WITH commits AS (
    SELECT
        c.sha,
        CASE WHEN c.author_account_id <> '' THEN c.author_account_id ELSE lower(c.author_email) END AS author_key
    FROM domain.commits AS c
    WHERE c.sha IN (
            SELECT rc.commit_sha
            FROM domain.repo_commits AS rc
            LEFT JOIN domain.repos AS r ON r.id = rc.repo_id
            LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = rc.repo_id
            WHERE ($repo IS NULL OR list_contains($repo, r.name))
                AND ($project IS NULL OR list_contains($project, m.project_name))
        )
),

changes AS (
    SELECT DISTINCT
        f.id,
        f.file_path,
        f.additions,
        f.deletions,
        c.author_key
    FROM domain.commit_files AS f
    INNER JOIN commits AS c ON c.sha = f.commit_sha
    WHERE $path IS NULL OR regexp_like(f.file_path, $path)
),

files AS (
    SELECT
        file_path,
        sum(additions) - sum(deletions) AS lines,
        count(DISTINCT author_key) AS authors
    FROM changes
    GROUP BY file_path
)

SELECT
    file_path AS file,
    lines,
    authors,
    round(1.0 * lines / authors, 1) AS "lines per author"
FROM files
WHERE lines > 0
ORDER BY 1.0 * lines / authors DESC NULLS LAST, file_path
LIMIT $n
