// Command primes answers at once, for small limits: /.netlify/functions/primes?limit=100
package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"example.com/site/primes"
	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(handle) }

func handle(_ context.Context, request events.APIGatewayProxyRequest) (*events.APIGatewayProxyResponse, error) {
	limit, err := strconv.Atoi(request.QueryStringParameters["limit"])
	if err != nil || limit > 1_000_000 {
		return text(http.StatusBadRequest, "limit must be a number, 1000000 at most"), nil
	}
	return text(http.StatusOK, fmt.Sprint(primes.Count(limit, func(int, int) {}))), nil
}

func text(status int, body string) *events.APIGatewayProxyResponse {
	return &events.APIGatewayProxyResponse{
		StatusCode: status, Body: body,
		Headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"},
	}
}
