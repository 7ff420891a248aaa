namespace Ndif.EndToEnd.Tests.Infrastructure;

/// <summary>A cluster that stores large values in a bucket (`--blobs s3://...`), over HTTP.</summary>
public sealed class BucketTestCluster : TestCluster
{
    public FakeS3 S3 { get; } = new(TimeProvider.System);

    protected override IReadOnlyList<string> ServiceArguments =>
        ["--blobs", $"s3://{FakeS3.Bucket}/lab?endpoint={S3.Address}&region={FakeS3.Region}"];

    protected override IReadOnlyList<(string Name, string Value)> ServiceEnvironment =>
        [("AWS_ACCESS_KEY_ID", FakeS3.AccessKey), ("AWS_SECRET_ACCESS_KEY", FakeS3.Secret)];

    protected override async Task StartStorageAsync()
    {
        await S3.StartAsync();
        await base.StartStorageAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await S3.DisposeAsync();
    }
}
