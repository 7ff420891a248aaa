using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Cli.Diagnosis;
using Ndif.Queue;
using Ndif.Queue.Blobs;
using Ndif.Queue.Redis;
using Ndif.Server;

namespace Ndif.Cli.Commands;

/// <summary>`ndif doctor`: checks what a service needs on this machine, and says what to do.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        var redis = CommonOptions.Redis();
        var data = CommonOptions.Data();
        var prefix = CommonOptions.Prefix();
        var device = CommonOptions.Device();
        var gateway = new GatewayArguments();
        var config = new ServiceConfiguration();
        var json = CommonOptions.Json("The results");
        var model = new Option<string[]>("--model", "-m")
        {
            Description = "Id, folder or GGUF file of a model that is checked; may be given several times. Default: none.",
        };
        var hostName = new Option<string?>("--host-name") { Description = "Host name that clients use, which the certificate must have." };
        var command = new Command(
            "doctor", "Check what a service needs: Redis, blobs, disk, keys, certificate, clock, models, processor and GPU. "
            + "Give it the options of the service. The exit code is 1 if something is wrong.")
        {
            redis, data, prefix, model, device, hostName, json,
        };
        gateway.AddTo(command);
        config.AddTo(command);
        command.SetAction(async (parsed, cancellationToken) =>
        {
            List<CheckResult> results = [];
            string? address = CommonOptions.GetRedis(parsed, redis);
            GatewayOptions options = config.BindGateway(parsed, gateway.GetExplicitValues(parsed));
            string folder = parsed.GetValue(data)!;
            if (address is { Length: > 0 })
                results.AddRange(await RedisInspection.InspectAsync(
                    address, parsed.GetValue(prefix)!, options.TotalQueueBytes, cancellationToken));
            else
                results.Add(new("redis", CheckLevel.Warning, "No Redis is given: only `ndif up` runs without it.",
                    "Use --redis host:port, or NDIF_REDIS."));
            BlobOptions blobs = config.BindBlobs(parsed, folder);
            results.AddRange(await StorageChecks.CheckBlobsAsync(blobs, options.TotalBlobBytes, cancellationToken));
            bool isRedisUsable = !results.Exists(result => result is { Check: "redis", Level: CheckLevel.Error });
            if (isRedisUsable)
                results.Add(await StorageChecks.CheckKeysAsync(address, folder, parsed.GetValue(prefix)!, cancellationToken));
            results.AddRange(GatewayChecks.Check(options, parsed.GetValue(hostName)));
            results.AddRange(MachineChecks.Check(parsed.GetValue(model) ?? [], parsed.GetValue(device)!));

            if (parsed.GetValue(json)) Console.WriteLine(JsonSerializer.Serialize(results, CheckResultJson.Default.ListCheckResult));
            else foreach (CheckResult result in results) Console.WriteLine(Format(result));
            return results.Exists(result => result.Level is CheckLevel.Error) ? 1 : 0;
        });
        return command;
    }

    private static string Format(CheckResult result)
    {
        string level = result.Level switch { CheckLevel.Ok => "ok     ", CheckLevel.Warning => "warning", _ => "ERROR  " };
        return $"{level} {result.Check}: {result.Message}{(result.Advice.Length > 0 ? " " + result.Advice : "")}";
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(List<CheckResult>))]
internal sealed partial class CheckResultJson : JsonSerializerContext;
