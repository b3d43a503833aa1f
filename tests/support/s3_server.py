"""An S3 server that checks signatures (moto, as a process). Prints one JSON line once the bucket exists."""

import json
import os
import signal

# Creating user, policy, key, role and bucket below go unsigned; everything after them has to be signed.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "7"

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "ocean-data"


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    shared = {"endpoint_url": url, "region_name": "eu-west-1"}
    anybody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", **shared}
    iam = boto3.client("iam", **anybody)
    iam.create_user(UserName="publisher")
    allowed = {
        "Statement": [{"Effect": "Allow", "Action": ["s3:*", "iam:*"], "Resource": "*"}],
        "Version": "2012-10-17",
    }
    iam.put_user_policy(UserName="publisher", PolicyName="all", PolicyDocument=json.dumps(allowed))
    key = iam.create_access_key(UserName="publisher")["AccessKey"]
    trust = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*"}], "Version": "2012-10-17"}
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName="reader", PolicyName="all", PolicyDocument=json.dumps(allowed))
    sts = boto3.client("sts", **anybody)
    temporary = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="publisher")["Credentials"]
    location = {"LocationConstraint": "eu-west-1"}
    boto3.client("s3", **anybody).create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
    access = {"accessKeyId": key["AccessKeyId"], "secretAccessKey": key["SecretAccessKey"]}
    names = {"accessKeyId": "AccessKeyId", "secretAccessKey": "SecretAccessKey", "sessionToken": "SessionToken"}
    access["temporary"] = {name: temporary[theirs] for name, theirs in names.items()}
    print(json.dumps({"endpoint": url, "bucket": BUCKET, "region": "eu-west-1", **access}), flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
