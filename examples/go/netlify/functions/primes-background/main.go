// Command primes-background counts primes for as long as it takes; the caller
// has its 202 long since. The count is the result of the invocation.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"example.com/site/primes"
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() { lambda.Start(handle) }

func handle(ctx context.Context, request events.APIGatewayProxyRequest) (*events.APIGatewayProxyResponse, error) {
	var input struct {
		Limit int `json:"limit"`
	}
	if err := json.Unmarshal([]byte(request.Body), &input); err != nil {
		return nil, fmt.Errorf("the body is not JSON: %w", err)
	}
	if input.Limit < 2 {
		return nil, errors.New("limit must be 2 or more") // the run fails and is tried again
	}
	run, _ := lambdacontext.FromContext(ctx)
	fmt.Printf("counting up to %d, run %s\n", input.Limit, run.AwsRequestID)
	count := primes.Count(input.Limit, func(upTo, count int) {
		fmt.Printf("%d primes up to %d\n", count, upTo)
	})
	return &events.APIGatewayProxyResponse{StatusCode: http.StatusOK, Body: fmt.Sprint(count)}, nil
}
