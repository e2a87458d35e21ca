-- Which files do most people change?
-- Grain: one row per file
-- Dashboard: Component and File-level Metrics, Files with maximum number of authors
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   authored not before this
-- param: to timestamp = null   authored before this
-- param: path varchar = null   only files whose path this regular expression finds
-- param: n bigint = 10   how many
-- Note: Bitbucket's API does not list changed files: no rows unless commits are read by git, or a [[table]] fills
-- domain.commit_files.
-- Note: an author is the Bitbucket account, or else the e-mail address; DevLake groups by name and e-mail, so a person
-- with two addresses is two.

WITH commits AS (
    SELECT
        c.sha,
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
)

SELECT
    f.file_path AS file,
    count(DISTINCT c.author_key) AS authors
FROM domain.commit_files AS f
INNER JOIN commits AS c ON c.sha = f.commit_sha
WHERE $path IS NULL OR regexp_like(f.file_path, $path)
GROUP BY f.file_path
ORDER BY authors DESC NULLS LAST, f.file_path
LIMIT $n
