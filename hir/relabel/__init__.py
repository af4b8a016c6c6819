"""What instruction an answer is trained under."""
