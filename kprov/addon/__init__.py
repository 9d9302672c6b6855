"""Add-ons: folders of data that become Kubernetes objects. Which there are, what they take, what they want."""
