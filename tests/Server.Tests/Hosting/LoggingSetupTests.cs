using System.ComponentModel.DataAnnotations;
using System.Text.Json;
using Ndif.Server.Hosting;
using Ndif.Server.Tests.Support;
using Serilog;
using Serilog.Context;
using Serilog.Core;

namespace Ndif.Server.Tests.Hosting;

public sealed class LoggingSetupTests
{
    [Fact]
    public async Task File_HoldsOneJsonObjectPerLine_WithTheJobId()
    {
        string folder = Directory.CreateTempSubdirectory("ndif-logs-").FullName;
        await using (Logger log = LoggingSetup.Create(new LogOptions { File = Path.Combine(folder, "ndif-.json") }))
        using (LogContext.PushProperty("JobId", "j1"))
            log.Information("Ran {Layers} layers", 12);

        string line = Assert.Single(await File.ReadAllLinesAsync(Assert.Single(Directory.GetFiles(folder)), TestGateway.Cancel));
        using JsonDocument json = JsonDocument.Parse(line);
        Assert.Equal(("j1", 12), (json.RootElement.GetProperty("JobId").GetString(), json.RootElement.GetProperty("Layers").GetInt32()));
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public void FrameworkLines_AreCutToWarnings()
    {
        var lines = new LogCapture();
        using Logger log = LoggingSetup.Create(new LogOptions(), lines);
        log.ForContext(Serilog.Core.Constants.SourceContextPropertyName, "Microsoft.AspNetCore.Hosting.Diagnostics").Information(
            "Request starting");
        log.ForContext(Serilog.Core.Constants.SourceContextPropertyName, "Microsoft.AspNetCore.Server.Kestrel").Warning(
            "Heartbeat is slow");
        log.ForContext(Serilog.Core.Constants.SourceContextPropertyName, "Ndif.Server").Information("ours");
        Assert.Equal(["Heartbeat is slow", "ours"], lines.Events.Select(LogCapture.GetText));
    }

    [Fact]
    public void Options_AreChecked() => Assert.Throws<ValidationException>(() => LoggingSetup.Create(new LogOptions { KeptFiles = 0 }));
}
