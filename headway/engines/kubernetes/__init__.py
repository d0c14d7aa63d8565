"""Workers in pods of a Kubernetes cluster. Each pod is created for one job."""
