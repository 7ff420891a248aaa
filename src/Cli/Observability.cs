using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;

namespace Ndif.Cli;

/// <summary>
/// Exports the traces and metrics of a process to an OpenTelemetry collector. It is configured by the standard environment variables:
/// OTEL_EXPORTER_OTLP_ENDPOINT (nothing is exported without it), OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_HEADERS,
/// OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER and others.
/// </summary>
internal sealed class Observability : IDisposable
{
    private readonly TracerProvider? _traces;
    private readonly MeterProvider? _metrics;

    /// <param name="name">The name of the service, if OTEL_SERVICE_NAME is not set.</param>
    private Observability(string name)
    {
        ResourceBuilder resource = ResourceBuilder.CreateEmpty().AddService(name).AddTelemetrySdk().AddEnvironmentVariableDetector();
        if (IsExporterEnabled("TRACES"))
        {
            // The span of ASP.NET Core is the parent of the spans of NDIF. It must be recorded as well, because the default sampler follows
            // the parent.
            _traces = Sdk.CreateTracerProviderBuilder().SetResourceBuilder(resource).AddSource("Microsoft.AspNetCore", "Ndif.*")
                .AddOtlpExporter().Build();
        }
        if (IsExporterEnabled("METRICS"))
            _metrics = Sdk.CreateMeterProviderBuilder().SetResourceBuilder(resource).AddMeter("Ndif.*").AddOtlpExporter().Build();
    }

    /// <summary>Starts the export. Dispose it to flush and stop.</summary>
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
