"""Where a run's numbers go beside metrics.jsonl: Prometheus, TensorBoard, Weights & Biases, MLflow."""
