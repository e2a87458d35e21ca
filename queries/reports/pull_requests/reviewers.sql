-- Who reviews, and with what outcome?
-- Grain: one row per reviewer
SELECT
    r.name AS reviewer,
    count(*) AS "pull requests",
    count(*) FILTER (WHERE r.approved) AS approved,
    count(*) FILTER (WHERE r.state = 'changes_requested') AS "changes requested"
FROM domain.pull_request_reviewers AS r
GROUP BY r.reviewer_id, r.name
ORDER BY count(*) DESC, r.name, r.reviewer_id
