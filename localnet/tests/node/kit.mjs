// @solana/kit against the localnet: airdrop, create a Token-2022 mint, transfer, confirm by WebSocket, read history.
// Usage: node kit.mjs RPC_URL WS_URL. Prints one JSON object.
import assert from 'node:assert/strict';
import {
    airdropFactory,
    appendTransactionMessageInstructions,
    assertIsTransactionWithBlockhashLifetime,
    createSolanaRpc,
    createSolanaRpcSubscriptions,
    createTransactionMessage,
    generateKeyPairSigner,
    getSignatureFromTransaction,
    lamports,
    pipe,
    sendAndConfirmTransactionFactory,
    setTransactionMessageFeePayerSigner,
    setTransactionMessageLifetimeUsingBlockhash,
    signTransactionMessageWithSigners,
} from '@solana/kit';
import { getCreateAccountInstruction } from '@solana-program/system';
import {
    TOKEN_2022_PROGRAM_ADDRESS,
    fetchMint,
    fetchToken,
    findAssociatedTokenPda,
    getCreateAssociatedTokenIdempotentInstruction,
    getInitializeMint2Instruction,
    getMintSize,
    getMintToInstruction,
    getTransferCheckedInstruction,
} from '@solana-program/token-2022';

const [rpcUrl, wsUrl] = process.argv.slice(2);
const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions(wsUrl);
const confirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const airdrop = airdropFactory({ rpc, rpcSubscriptions });

async function send(payer, instructions) {
    const { value: blockhash } = await rpc.getLatestBlockhash().send();
    const message = pipe(
        createTransactionMessage({ version: 0 }),
        (m) => setTransactionMessageFeePayerSigner(payer, m),
        (m) => setTransactionMessageLifetimeUsingBlockhash(blockhash, m),
        (m) => appendTransactionMessageInstructions(instructions, m),
    );
    const transaction = await signTransactionMessageWithSigners(message);
    assertIsTransactionWithBlockhashLifetime(transaction);
    await confirm(transaction, { commitment: 'confirmed' });
    return getSignatureFromTransaction(transaction);
}

const [issuer, holder, mint] = await Promise.all([1, 2, 3].map(() => generateKeyPairSigner()));
await airdrop({
    commitment: 'confirmed',
    lamports: lamports(10_000_000_000n),
    recipientAddress: issuer.address,
});

const space = BigInt(getMintSize());
const rent = await rpc.getMinimumBalanceForRentExemption(space).send();
const tokenProgram = TOKEN_2022_PROGRAM_ADDRESS;
const [[source], [destination]] = await Promise.all(
    [issuer, holder].map((owner) => findAssociatedTokenPda({ mint: mint.address, owner: owner.address, tokenProgram })),
);
await send(issuer, [
    getCreateAccountInstruction({ payer: issuer, newAccount: mint, lamports: rent, space, programAddress: tokenProgram }),
    getInitializeMint2Instruction({ mint: mint.address, decimals: 8, mintAuthority: issuer.address }),
]);
await send(issuer, [
    ...[[issuer, source], [holder, destination]].map(([owner, ata]) =>
        getCreateAssociatedTokenIdempotentInstruction({ payer: issuer, ata, owner: owner.address, mint: mint.address, tokenProgram }),
    ),
    getMintToInstruction({ mint: mint.address, token: source, mintAuthority: issuer, amount: 1_000n }),
]);
const signature = await send(issuer, [
    getTransferCheckedInstruction({ source, mint: mint.address, destination, authority: issuer, amount: 250n, decimals: 8 }),
]);

assert.equal((await fetchMint(rpc, mint.address, { commitment: 'confirmed' })).data.supply, 1_000n);
assert.equal((await fetchToken(rpc, destination, { commitment: 'confirmed' })).data.amount, 250n);
const history = await rpc.getSignaturesForAddress(mint.address, { commitment: 'confirmed' }).send();
assert.equal(history.length, 2 + 1);
assert.equal(history[0].signature, signature);
const options = { commitment: 'confirmed', encoding: 'jsonParsed', maxSupportedTransactionVersion: 0 };
const landed = await rpc.getTransaction(signature, options).send();
assert.equal(landed.transaction.message.instructions[0].parsed.type, 'transferChecked');
const block = await rpc.getBlock(landed.slot, { ...options, encoding: 'json', rewards: false }).send();
assert.ok(block.transactions.some((t) => t.transaction.signatures[0] === signature));
console.log(JSON.stringify({ signature, slot: Number(landed.slot), entries: history.length }));
process.exit(0);
