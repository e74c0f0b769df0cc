package main

import (
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// An envelope is what op-node commits: fields, names and what is left out are those of its
// `ExecutionPayloadEnvelope`.
type envelope struct {
	ParentBeaconBlockRoot *common.Hash      `json:"parentBeaconBlockRoot,omitempty"`
	ExecutionPayload      *executionPayload `json:"executionPayload"`
}

type executionPayload struct {
	ParentHash      common.Hash     `json:"parentHash"`
	FeeRecipient    common.Address  `json:"feeRecipient"`
	StateRoot       common.Hash     `json:"stateRoot"`
	ReceiptsRoot    common.Hash     `json:"receiptsRoot"`
	LogsBloom       hexutil.Bytes   `json:"logsBloom"`
	PrevRandao      common.Hash     `json:"prevRandao"`
	BlockNumber     hexutil.Uint64  `json:"blockNumber"`
	GasLimit        hexutil.Uint64  `json:"gasLimit"`
	GasUsed         hexutil.Uint64  `json:"gasUsed"`
	Timestamp       hexutil.Uint64  `json:"timestamp"`
	ExtraData       hexutil.Bytes   `json:"extraData"`
	BaseFeePerGas   hexutil.U256    `json:"baseFeePerGas"`
	BlockHash       common.Hash     `json:"blockHash"`
	Transactions    []hexutil.Bytes `json:"transactions"`
	Withdrawals     *[]withdrawal   `json:"withdrawals,omitempty"`
	BlobGasUsed     *hexutil.Uint64 `json:"blobGasUsed,omitempty"`
	ExcessBlobGas   *hexutil.Uint64 `json:"excessBlobGas,omitempty"`
	WithdrawalsRoot *common.Hash    `json:"withdrawalsRoot,omitempty"`
}

type withdrawal struct {
	Index          hexutil.Uint64 `json:"index"`
	ValidatorIndex hexutil.Uint64 `json:"validatorIndex"`
	Address        common.Address `json:"address"`
	Amount         hexutil.Uint64 `json:"amount"`
}
