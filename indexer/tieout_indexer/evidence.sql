-- name: before
select slot, tx_index, batch, encoding, endpoint, sha256, body from ledger.evidence_row
where slot < $1 and octet_length(body) > 0 and (slot, tx_index, batch) > ($2, $3, $4)
order by slot, tx_index, batch limit $5

-- name: detached
select slot, tx_index, sha256 from ledger.evidence_row where octet_length(body) = 0 order by slot, tx_index

-- name: detach
select ledger.detach_evidence($1, $2)
