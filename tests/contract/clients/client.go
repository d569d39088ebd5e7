// What grpc-go makes of a server: client HOST:PORT [CA.pem]
package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw carries bytes as they are.
type raw struct{}

func (raw) Marshal(value interface{}) ([]byte, error)      { return *value.(*[]byte), nil }
func (raw) Unmarshal(data []byte, value interface{}) error { *value.(*[]byte) = data; return nil }
func (raw) Name() string                                   { return "proto" }

var channel *grpc.ClientConn

func call(about context.Context, method string, message []byte, options ...grpc.CallOption) ([]byte, error) {
	var answer []byte
	err := channel.Invoke(about, "/test.Service/"+method, &message, &answer, options...)
	return answer, err
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func watch(about context.Context) []byte {
	about, cancel := context.WithCancel(about)
	defer cancel()
	stream, err := channel.NewStream(about, &grpc.StreamDesc{ServerStreams: true}, "/grpc.health.v1.Health/Watch")
	check(err)
	var nothing, answer []byte
	check(stream.SendMsg(&nothing))
	check(stream.CloseSend())
	check(stream.RecvMsg(&answer))
	return answer
}

func main() {
	secret := grpc.WithInsecure()
	if len(os.Args) > 2 {
		trusted, err := credentials.NewClientTLSFromFile(os.Args[2], "")
		check(err)
		secret = grpc.WithTransportCredentials(trusted)
	}
	var err error
	channel, err = grpc.Dial(os.Args[1], secret, grpc.WithDefaultCallOptions(
		grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(64<<20)))
	check(err)
	defer channel.Close()
	about, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	answer, err := call(about, "Echo", []byte("hello"))
	check(err)
	fmt.Printf("unary: %s\n", answer)
	answer, err = call(metadata.AppendToOutgoingContext(about, "x-request-id", "42", "x-raw-bin", "\x00\xff"), "Metadata", nil)
	check(err)
	fmt.Printf("metadata: %s\n", answer)
	var trailers metadata.MD
	_, err = call(about, "Fail", nil, grpc.Trailer(&trailers))
	failure := status.Convert(err)
	fmt.Printf("error: %d %s %s\n", failure.Code(), failure.Message(), trailers["mindserve-error"][0])
	short, cancelShort := context.WithTimeout(about, 300*time.Millisecond)
	defer cancelShort()
	_, err = call(short, "Hang", nil)
	fmt.Printf("deadline: %d\n", status.Code(err))
	large := bytes.Repeat([]byte{7}, 4<<20)
	answer, err = call(about, "Echo", large)
	check(err)
	fmt.Printf("large: %t\n", bytes.Equal(answer, large))
	fmt.Printf("watch: %s\n", hex.EncodeToString(watch(about)))
	good := make([]bool, 200)
	var group sync.WaitGroup
	for n := range good {
		group.Add(1)
		go func(n int) {
			defer group.Done()
			answer, err := call(about, "Echo", []byte(strconv.Itoa(n)))
			good[n] = err == nil && string(answer) == strconv.Itoa(n)
		}(n)
	}
	group.Wait()
	all := true
	for _, each := range good {
		all = all && each
	}
	fmt.Printf("many: %t\n", all)
}
