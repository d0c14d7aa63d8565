"""Workers in pods of a Kubernetes cluster, made for one job."""
