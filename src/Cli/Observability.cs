using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Ndif.Cli;

/// <summary>
/// Sends traces and metrics of a service's process to an OpenTelemetry collector, as the standard variables say: OTEL_EXPORTER_OTLP_ENDPOINT
/// (nothing is sent without it), OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...
/// </summary>
internal sealed class Observability : IDisposable
{
    private readonly TracerProvider? _traces;
    private readonly MeterProvider? _metrics;

    /// <param name="name">The service's name, unless OTEL_SERVICE_NAME gives another.</param>
    private Observability(string name)
    {
        ResourceBuilder resource = ResourceBuilder.CreateEmpty().AddService(name).AddTelemetrySdk().AddEnvironmentVariableDetector();
        // the framework's own span of each request is the parent of ours: what does not record it does not record ours
        if (IsExporterEnabled("TRACES")) _traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource("Microsoft.AspNetCore", "Ndif.*").AddOtlpExporter().Build();
        if (IsExporterEnabled("METRICS")) _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter("Ndif.*").AddOtlpExporter().Build();
    }

    /// <summary>Begins; what is still to be sent is sent when it is disposed.</summary>
    public static Observability Start(string name) => new(name);

    public void Dispose()
    {
        _traces?.Dispose();
        _metrics?.Dispose();
    }

    private static bool IsExporterEnabled(string signal) =>
        !string.Equals(GetVariable("OTEL_SDK_DISABLED"), "true", StringComparison.OrdinalIgnoreCase)
        && GetVariable($"OTEL_{signal}_EXPORTER") is null or "" or "otlp"
        && (GetVariable("OTEL_EXPORTER_OTLP_ENDPOINT") ?? GetVariable($"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")) is { Length: > 0 };

    private static string? GetVariable(string name) => Environment.GetEnvironmentVariable(name);
}
