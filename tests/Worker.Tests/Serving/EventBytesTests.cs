using Ndif.Protocol;
using Ndif.Worker.Tests.Support;

namespace Ndif.Worker.Tests.Serving;

/// <summary>What a job puts into the queue is small: its events have a limit together, and its tensors go to the blob store.</summary>
public sealed class EventBytesTests
{
    [Fact]
    public async Task ALoopThatSavesManySmallValues_EndsAtTheLimit()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], EventBytes = 1 << 20 });
        string job = await cluster.SubmitAsync(a, SaveEach(a, Call("arange", new Argument { Integer = 100_000 })));
        StateChanged end = await cluster.WaitForEndAsync(job);
        Assert.Equal((JobState.Failed, ErrorCode.LimitExceeded), (end.State, end.Error.Code));
        Assert.Contains("1,048,576", end.Error.Message, StringComparison.Ordinal);
        Assert.InRange((await cluster.GetEventsAsync(job)).Sum(e => (long)e.CalculateSize()), 200_000, 1_100_000);
        await cluster.RunAsync(a);
    }

    /// <summary>An element of a list takes much more memory in a gateway that sends it than the two to four bytes of its message.</summary>
    [Fact]
    public async Task ElementsOfAList_CountMoreThanTheirBytes()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], EventBytes = 1 << 20 });
        foreach ((int count, JobState expected) in ((int, JobState)[])[(10_000, JobState.Completed), (20_000, JobState.Failed)])
        {
            var items = new ArgumentList { Items = { Enumerable.Range(0, count).Select(i => new Argument { Integer = i }) } };
            var program = new Program
            {
                Version = 1,
                Model = new ModelRef { Id = a },
                Nodes = { new Node { Save = new Save { Value = new Argument { List = items }, Name = "list" } } },
                Regions = { new Region { Nodes = { 0 } } },
            };
            string job = await cluster.SubmitAsync(a, program);
            StateChanged end = await cluster.WaitForEndAsync(job);
            Assert.Equal((expected, expected is JobState.Failed ? ErrorCode.LimitExceeded : null), (end.State, end.Error?.Code));
        }
    }

    [Fact]
    public async Task ManyWarnings_EndAtTheLimit()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a], EventBytes = 1 << 20, EventBufferSize = 4 });
        string job = await cluster.SubmitAsync(a, TestPrograms.LateEdits(a, 6000));
        StateChanged end = await cluster.WaitForEndAsync(job);
        Assert.Equal((JobState.Failed, ErrorCode.LimitExceeded), (end.State, end.Error?.Code));
        Assert.InRange((await cluster.GetEventsAsync(job)).Sum(e => (long)e.CalculateSize()), 200_000, 1_100_000);
    }

    [Fact]
    public async Task TensorsAboveAFewKibibytes_AreBlobs_AndInALargeJobSmallerOnesToo()
    {
        await using var cluster = new WorkerTestCluster();
        string a = cluster.NewModel("a");
        await cluster.StartWorkerAsync(configure: options => options with { Models = [a] });
        Tensor[] few = await SaveRowsAsync(2, 5000); // 20 KB each
        Assert.All(few, tensor => Assert.Equal(Tensor.ContentOneofCase.Blob, tensor.ContentCase));
        Tensor[] many = await SaveRowsAsync(600, 3000); // 12 KB each, 7.2 MB together
        Assert.InRange(many.Sum(tensor => (long)tensor.Inline.Length), 3 << 20, 5 << 20);
        Assert.Equal(Tensor.ContentOneofCase.Inline, many[0].ContentCase);
        Assert.Equal(Tensor.ContentOneofCase.Blob, many[^1].ContentCase);

        async Task<Tensor[]> SaveRowsAsync(int rows, int columns)
        {
            var size = new ArgumentList { Items = { new Argument { Integer = rows }, new Argument { Integer = columns } } };
            string job = await cluster.SubmitAsync(a, SaveEach(a, Call("ones", new Argument { List = size })));
            StateChanged end = await cluster.WaitForEndAsync(job);
            Assert.True(end.State is JobState.Completed, end.Error?.ToString());
            return [.. (await cluster.GetEventsAsync(job)).Where(e => e.Value is not null).Select(e => e.Value.Data.Tensor)];
        }
    }

    /// <summary>for value in items: save(value)</summary>
    private static Program SaveEach(string model, Call items) => new()
    {
        Version = 1,
        Model = new ModelRef { Id = model },
        Nodes =
        {
            new Node { Call = items },
            new Node { ForEach = new ForEach { Items = new Argument { Node = 0 }, Region = 1 } },
            new Node { RegionParameter = new RegionParameter { Name = "value" } },
            new Node { Save = new Save { Value = new Argument { Node = 2 }, Name = "value" } },
        },
        Regions = { new Region { Nodes = { 0, 1 } }, new Region { Nodes = { 3 }, Parameters = { 2 } } },
    };

    private static Call Call(string op, Argument argument) => new() { Op = op, Arguments = { argument } };
}
