// Command sweep is called by the clock, as netlify.toml says.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() { lambda.Start(handle) }

// handle has no response: nobody waits for that of a scheduled function.
func handle(_ context.Context, request events.APIGatewayProxyRequest) error {
	var tick struct {
		Next time.Time `json:"next_run"`
	}
	if err := json.Unmarshal([]byte(request.Body), &tick); err != nil {
		return err
	}
	fmt.Printf("swept; again at %s\n", tick.Next.Format(time.Kitchen))
	return nil
}
