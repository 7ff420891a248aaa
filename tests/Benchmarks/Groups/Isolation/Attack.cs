using System.Security.Cryptography;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Reflection.V1Alpha;
using Ndif.Benchmarks.Fixtures;
using Ndif.Protocol;

namespace Ndif.Benchmarks.Groups.Isolation;

/// <summary>One way to occupy a service: what each of several clients does, over and over.</summary>
/// <param name="Clients">The number of clients, which act at the same time.</param>
internal sealed record Attack(string Name, int Clients, Func<Attacker, CancellationToken, Task> ActAsync)
{
    private const string Prompt = "Big Ben is in the city of";

    /// <summary>As many jobs as a key of the tier `standard` may have in flight.</summary>
    private const int Jobs = 64;

    private const int Requests = 16;

    public static IReadOnlyList<Attack> All { get; } =
    [
        Job("endless loops in a trace", (llm, _) =>
        {
            Trace trace = llm.Trace(Prompt);
            Loop(trace);
            return trace;
        }),
        Job("endless loops without a model", (llm, _) =>
        {
            Session session = llm.Session();
            Loop(session);
            return session;
        }),
        Job("generations of 32 sequences", (llm, _) => Saving(llm.Generate(Enumerable.Repeat(Prompt, 32).ToArray(), 100,
            new() { IgnoreEos = true }), trace => trace.Result)),
        Job("passes of 64 full contexts", (llm, seed) => Saving(llm.Trace(Prompts(64, seed)), _ => llm.Logits.Sum())),
        Job("gradients of 32 full contexts", (llm, seed) =>
        {
            Trace trace = llm.Trace(Prompts(32, seed), grad: true);
            Value hidden = llm.Layers[0].Hidden;
            trace.Backward(llm.Logits.Sum(), () => hidden.Grad.Sum().Save());
            return trace;
        }),
        Job("large matrix products", (llm, _) => Saving(llm.Trace(Prompt), _ =>
        {
            Value x = Op.Rand([3000, 3000]);
            return x.Mm(x).Sum();
        })),
        Job("singular values", (llm, _) => Saving(llm.Trace(Prompt), _ => Op.LinalgSvdVals(Op.Rand([600, 600])).Sum())),
        Job("gradients of singular values", (llm, _) =>
        {
            Trace trace = llm.Trace(Prompt, grad: true);
            Value hidden = llm.Layers[0].Hidden;
            Value values = Op.LinalgSvdVals(Op.Rand([600, 600]) * hidden.Sum());
            trace.Backward(values.Sum(), () => hidden.Grad.Sum().Save());
            return trace;
        }),
        Job("results of 64 MB", (llm, _) => Saving(llm.Trace(Prompt), _ => Op.Rand([4000, 4000])), clients: 4),
        Job("calls that nobody answers", (llm, _) =>
        {
            Trace trace = llm.Trace(Prompt);
            trace.Local(_ => Thread.Sleep(Timeout.Infinite), llm.Layers[0].Hidden);
            return trace;
        }),
        Job("many small jobs", (llm, _) => Saving(llm.Trace(Prompt), _ => llm.Logits.Sum())),
        new("jobs that are cancelled at once", Requests, async (attacker, cancellationToken) =>
        {
            using Trace trace = Saving(attacker.Model.Generate(Prompt, 100, new() { IgnoreEos = true }), trace => trace.Result);
            string id = await attacker.Calls.SubmitJobAsync(attacker.User, trace.ToProgram(), cancellationToken);
            await attacker.Calls.CancelAsync(new CancelRequest { JobId = id }, attacker.User.Headers, cancellationToken: cancellationToken);
        }),
        new("lists of jobs", Requests, async (attacker, cancellationToken) => await attacker.Calls.ListJobsAsync(
            new ListJobsRequest { Limit = 1000 }, attacker.User.Headers, cancellationToken: cancellationToken)),
        new("programs that are refused", Requests, async (attacker, cancellationToken) =>
        {
            var program = new Protocol.Program();
            for (int i = 0; i < 50_000; i++) program.Regions.Add(new Region());
            await attacker.Calls.SubmitAsync(new SubmitRequest { Program = program }, attacker.User.Headers,
                cancellationToken: cancellationToken);
        }),
        new("uploads", Requests, async (attacker, cancellationToken) =>
        {
            byte[] bytes = RandomNumberGenerator.GetBytes(1 << 20);
            using AsyncClientStreamingCall<BlobChunk, BlobRef> call =
                attacker.Calls.PutBlob(attacker.User.Headers, cancellationToken: cancellationToken);
            await call.RequestStream.WriteAsync(new BlobChunk
            {
                Id = Convert.ToHexStringLower(SHA256.HashData(bytes)), Total = (ulong)bytes.Length, Data = ByteString.CopyFrom(bytes),
            }, cancellationToken);
            await call.RequestStream.CompleteAsync();
            await call.ResponseAsync;
        }),
        new("wrong keys", Requests, async (attacker, cancellationToken) => await attacker.Calls.ListJobsAsync(new ListJobsRequest(),
            new Metadata { { "authorization", $"Bearer ndif_wrong000_{new string('a', 43)}" } },
            cancellationToken: cancellationToken)),
        new("metrics without a key", Requests,
            async (attacker, cancellationToken) => await attacker.Http.GetByteArrayAsync("metrics", cancellationToken)),
        new("status without a key", Requests,
            async (attacker, cancellationToken) => await attacker.Http.GetByteArrayAsync("status", cancellationToken)),
        new("probes without a key", Requests,
            async (attacker, cancellationToken) => await attacker.Http.GetByteArrayAsync("readyz", cancellationToken)),
        new("reflection without a key", Requests, async (attacker, cancellationToken) =>
        {
            using AsyncDuplexStreamingCall<ServerReflectionRequest, ServerReflectionResponse> call =
                attacker.Reflection.ServerReflectionInfo(cancellationToken: cancellationToken);
            await call.RequestStream.WriteAsync(
                new ServerReflectionRequest { FileContainingSymbol = "ndif.v1.Inference" }, cancellationToken);
            await call.ResponseStream.MoveNext(cancellationToken);
            await call.RequestStream.CompleteAsync();
        }),
        new("new connections", Requests, async (attacker, cancellationToken) =>
        {
            using GrpcChannel channel = BenchmarkCluster.Connect(attacker.Address);
            await new Inference.InferenceClient(channel).GetCapabilitiesAsync(new GetCapabilitiesRequest(), attacker.User.Headers,
                cancellationToken: cancellationToken);
        }),
    ];

    private static Attack Job(string name, Func<LanguageModel, int, Tracer> record, int clients = Jobs) =>
        new($"{clients} {name}", clients, async (attacker, cancellationToken) =>
        {
            Tracer tracer = record(attacker.Model, Random.Shared.Next(1000));
            using (tracer as IDisposable) await tracer.RunAsync(cancellationToken);
        });

    private static int[][] Prompts(int rows, int seed) =>
        [.. Enumerable.Range(seed, rows).Select(row => Enumerable.Range(row, 128).Select(token => token % 1000).ToArray())];

    private static Trace Saving(Trace trace, Func<Trace, Value> value)
    {
        value(trace).Save();
        return trace;
    }

    private static void Loop(Tracer tracer)
    {
        Variable count = tracer.Variable(0);
        tracer.While(() => count.Value >= 0, () => count.Set(count.Value + 1), int.MaxValue);
    }
}
