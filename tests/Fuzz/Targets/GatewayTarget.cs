using System.Buffers.Binary;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Ndif.Protocol;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Server;
using Ndif.Server.Keys;
using Ndif.Tests.Support;

namespace Ndif.Fuzz.Targets;

/// <summary>
/// A gateway on loopback that gets any bytes as the body of any call: gRPC messages, compressed or not, and HTTP uploads. The first byte of
/// an input chooses the call, the second how it is sent. Every answer is one of the protocol, and none is INTERNAL.
/// </summary>
internal sealed class GatewayTarget : IFuzzTarget, IDisposable
{
    private static readonly string[] _calls =
        [.. new[] { ServiceReflection.Descriptor, AdminReflection.Descriptor }.SelectMany(file => file.Services)
            .SelectMany(service => service.Methods.Select(method => $"/{service.FullName}/{method.Name}")),
                $"/v1/blobs/{new string('a', 64)}"];

    private readonly string _folder = Directory.CreateTempSubdirectory("ndif-fuzz-gateway-").FullName;
    private readonly QueueBackend _backend;
    private readonly WebApplication _gateway;
    private readonly HttpClient _grpc, _http;

    public GatewayTarget()
    {
        _backend = QueueBackend.InMemory(blobs: new BlobOptions { Root = Path.Combine(_folder, "blobs") });
        _backend.Workers.SetDescriptionAsync(ModelUnderTest.Model.Description).GetAwaiter().GetResult();
        var tiers = new Dictionary<string, Tier> { ["standard"] = new(JobsInFlight: int.MaxValue, JobsPerMinute: int.MaxValue) };
        _gateway = GatewayHost.Build(
            new GatewayOptions { GrpcPort = 0, HttpPort = 0, AllowAnonymous = true, Tiers = tiers,
                RequestTimeout = TimeSpan.FromSeconds(2) },
            _backend, new FileKeyStore(Path.Combine(_folder, "keys.json")));
        _gateway.StartAsync().GetAwaiter().GetResult();
        _grpc = new HttpClient { BaseAddress = GatewayHost.GetAddress(_gateway).Grpc };
        _http = new HttpClient { BaseAddress = GatewayHost.GetAddress(_gateway).Http };
    }

    public long GetMaxAllocatedBytes(int inputLength) => long.MaxValue; // it runs on other threads; DOTNET_GCHeapHardLimit bounds it

    public IEnumerable<byte[]> Seeds()
    {
        byte[] program = new SubmitRequest { Program = new RandomProgramGenerator(ModelUnderTest.ForPrograms, 1).Next() }.ToByteArray();
        for (int call = 0; call < _calls.Length; call++)
            for (int way = 0; way < 3; way++)
            {
                yield return [(byte)call, (byte)way];
                yield return [(byte)call, (byte)way, .. program];
                yield return [(byte)call, (byte)way, .. Enumerable.Repeat<byte[]>([0x0a, 0], 5000).SelectMany(bytes => bytes)];
            }
    }

    public void Run(byte[] input)
    {
        if (input.Length < 2) return;
        string call = _calls[input[0] % _calls.Length];
        byte[] body = input[2..];
        if (call.StartsWith("/v1/", StringComparison.Ordinal))
        {
            using HttpResponseMessage put = _http.PutAsync(new Uri(call, UriKind.Relative),
                new ByteArrayContent(body)).GetAwaiter().GetResult();
            if (put.StatusCode is HttpStatusCode.InternalServerError) throw new FindingException($"{call}: {put.StatusCode}");
            return;
        }
        byte[] framed = (input[1] % 3) switch { 0 => Frame(body, 0), 1 => Frame(Compress(body), 1), _ => body };
        using var request = new HttpRequestMessage(HttpMethod.Post, call)
        {
            Version = HttpVersion.Version20, VersionPolicy = HttpVersionPolicy.RequestVersionExact, Content = new ByteArrayContent(framed),
        };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/grpc");
        request.Headers.TryAddWithoutValidation("TE", "trailers");
        request.Headers.TryAddWithoutValidation("grpc-encoding", "gzip");
        using HttpResponseMessage response = _grpc.SendAsync(request).GetAwaiter().GetResult();
        response.Content.LoadIntoBufferAsync().GetAwaiter().GetResult();
        string status = response.Headers.TryGetValues("grpc-status", out IEnumerable<string>? values)
            || response.TrailingHeaders.TryGetValues("grpc-status", out values) ? values.First() : "none";
        if (status is "none" or "2" or "13") throw new FindingException($"{call} was answered with the status {status}.");
    }

    public void Dispose()
    {
        _grpc.Dispose();
        _http.Dispose();
        _gateway.DisposeAsync().AsTask().GetAwaiter().GetResult();
        _backend.DisposeAsync().AsTask().GetAwaiter().GetResult();
        Directory.Delete(_folder, recursive: true);
    }

    private static byte[] Frame(byte[] message, byte compressed)
    {
        byte[] framed = new byte[5 + message.Length];
        framed[0] = compressed;
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), message.Length);
        message.CopyTo(framed, 5);
        return framed;
    }

    private static byte[] Compress(byte[] bytes)
    {
        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest)) gzip.Write(bytes);
        return packed.ToArray();
    }
}
