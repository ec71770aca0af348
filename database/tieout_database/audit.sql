-- name: append
select audit.append($1, $2, $3, $4)

-- name: entries
select entry, at, actor, action, subject, details, prev_hash, hash from audit.entries order by entry desc limit $1

-- name: all_entries
select entry, at, actor, action, subject, details, prev_hash, hash from audit.entries order by entry
