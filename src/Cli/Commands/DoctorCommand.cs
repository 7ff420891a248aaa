using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Serialization;
using Ndif.Cli.Diagnosis;
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
        var json = CommonOptions.Json("The findings");
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
            List<Finding> findings = [];
            string? address = parsed.GetValue(redis);
            string folder = parsed.GetValue(data)!;
            if (address is { Length: > 0 }) findings.AddRange(await RedisInspection.InspectAsync(address, parsed.GetValue(prefix)!,
                cancellationToken));
            else
                findings.Add(new("redis", FindingLevel.Warning, "No Redis is given: only `ndif up` runs without it.",
                    "Use --redis host:port, or NDIF_REDIS."));
            BlobOptions blobs = config.BindBlobs(parsed, folder);
            findings.AddRange(await StorageChecks.CheckBlobsAsync(blobs, cancellationToken));
            bool isRedisUsable = !findings.Exists(f => f is { Check: "redis", Level: FindingLevel.Error });
            if (isRedisUsable)
                findings.Add(await StorageChecks.CheckKeysAsync(address, folder, parsed.GetValue(prefix)!, cancellationToken));
            GatewayOptions options = config.BindGateway(parsed, gateway.GetExplicitValues(parsed));
            findings.AddRange(CertificateChecks.Check(options, parsed.GetValue(hostName)));
            findings.AddRange(MachineChecks.Check(parsed.GetValue(model) ?? [], parsed.GetValue(device)!));

            if (parsed.GetValue(json)) Console.WriteLine(JsonSerializer.Serialize(findings, FindingJson.Default.ListFinding));
            else foreach (Finding finding in findings) Console.WriteLine(Format(finding));
            return findings.Exists(finding => finding.Level is FindingLevel.Error) ? 1 : 0;
        });
        return command;
    }

    private static string Format(Finding finding)
    {
        string level = finding.Level switch { FindingLevel.Ok => "ok     ", FindingLevel.Warning => "warning", _ => "ERROR  " };
        return $"{level} {finding.Check}: {finding.Message}{(finding.Advice.Length > 0 ? " " + finding.Advice : "")}";
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(List<Finding>))]
internal sealed partial class FindingJson : JsonSerializerContext;
