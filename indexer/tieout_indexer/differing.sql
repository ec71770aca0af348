-- name: event
select slot, block_time, tx_index, step, child, path, signature, program, kind, mint, source, source_owner,
       destination, destination_owner, authority, authority_role, amount, fee, memo, batch
from ledger.event_row e
where mint = any($1) and slot between $2 and $3 and tx_index < $4
  and not ledger.is_retracted('event', slot, tx_index, step, child, mint, '', batch, null)

-- name: control
select slot, block_time, tx_index, step, child, path, signature, kind, mint, account, authority, details, batch
from ledger.control_row
where mint = any($1) and slot between $2 and $3 and tx_index < $4
  and not ledger.is_retracted('control', slot, tx_index, step, child, mint, '', batch, null)

-- name: proof
select slot, tx_index, mint, status, batch
from ledger.proof_row
where mint = any($1) and slot between $2 and $3 and tx_index < $4
  and not ledger.is_retracted('proof', slot, tx_index, 0, 0, mint, '', batch, null)

-- name: touch
select slot, tx_index, mint, account, decimals, pre_amount, post_amount, pre_owner, post_owner, batch
from ledger.touch_row
where mint = any($1) and slot between $2 and $3 and tx_index < $4
  and not ledger.is_retracted('touch', slot, tx_index, 0, 0, mint, account, batch, null)

-- name: quarantine
select slot, tx_index, step, child, signature, path, mint, reason, data, batch
from ledger.quarantine_row
where mint = any($1) and slot between $2 and $3 and tx_index < $4
  and not ledger.is_retracted('quarantine', slot, tx_index, step, child, mint, '', batch, null)
