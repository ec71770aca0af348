-- name: evidence
select slot, tx_index, sha256, body from ledger.evidence_row
where slot between $1 and $2 and encoding = 'json'
order by slot, tx_index, batch
