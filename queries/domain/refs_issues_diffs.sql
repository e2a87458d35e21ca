-- Which issues does a tag contain that an earlier one does not?
--
-- Grain:  one row per pair of tags and issue
-- Source: domain.ref_commits, domain.commits_diffs, domain.pull_requests, domain.pull_request_commits,
--         domain.pull_request_issues; domain.refs for the repository of given pairs
--
-- Rules:
-- * An issue comes with a pair when one of the pair's commits is a commit or the merge commit of a pull request of that
--   repository that names it. Of several keys of one issue the smallest counts.
-- * in_devlake: keys that MySQL reads as a number above 0, of collected issues, where DevLake's linker has the link.
--   Keys of other trackers are here too, with an empty issue_id where no such issue was collected, as in
--   domain.pull_request_issues; their letter case does not count.
--
-- incremental: project by repo_id
WITH pairs AS (
    SELECT
        r.new_ref_id,
        r.old_ref_id,
        r.new_commit_sha,
        r.old_commit_sha,
        coalesce(nullif(r.repo_id, ''), n.repo_id, regexp_replace(r.new_ref_id, ':refs/.*$', '')) AS repo_id
    FROM domain.ref_commits AS r
    LEFT JOIN domain.refs AS n ON n.id = r.new_ref_id
),

request_commits AS (
    SELECT
        id,
        base_repo_id,
        merge_commit_sha AS commit_sha
    FROM domain.pull_requests
    WHERE merge_commit_sha <> ''
    UNION
    SELECT
        p.id,
        p.base_repo_id,
        c.commit_sha
    FROM domain.pull_request_commits AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
),

added AS (
    SELECT DISTINCT
        r.new_ref_id,
        r.old_ref_id,
        r.new_commit_sha,
        r.old_commit_sha,
        r.repo_id,
        c.id
    FROM pairs AS r
    INNER JOIN domain.commits_diffs AS d
        ON d.new_commit_sha = r.new_commit_sha AND d.old_commit_sha = r.old_commit_sha
    INNER JOIN request_commits AS c ON c.commit_sha = d.commit_sha AND c.base_repo_id = r.repo_id
)

SELECT
    b.new_ref_id,
    b.old_ref_id,
    min(b.new_commit_sha) AS new_ref_commit_sha,
    min(b.old_commit_sha) AS old_ref_commit_sha,
    min(i.issue_key) AS issue_number,
    i.issue_id,
    min(b.repo_id) AS repo_id,
    -- rows that were given say nothing of their source
    bool_or(i.issue_id <> '' AND regexp_like(i.issue_key, '^\s*0*[1-9]') AND (i.in_devlake OR i.link_sources = ''))
        AS in_devlake
FROM added AS b
INNER JOIN domain.pull_request_issues AS i ON i.pull_request_id = b.id
GROUP BY b.new_ref_id, b.old_ref_id, i.issue_id, CASE WHEN i.issue_id = '' THEN lower(i.issue_key) END
