using System.Text;
using System.Text.Json;

namespace Ndif.Dictionaries.Dashboards;

/// <summary>Dashboards as JSON.</summary>
internal static class DashboardJson
{
    public static string Write(FeatureDashboards dashboards)
    {
        using MemoryStream stream = new();
        using (var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            json.WriteString("dictionary", dashboards.Name);
            json.WriteNumber("tokens", dashboards.Tokens);
            json.WriteString("logit_effects", "W_dec . W_U with the weight of the final norm; its scale is left out");
            json.WriteStartArray("features");
            foreach (FeatureDashboard feature in dashboards.Features) Write(json, feature);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    private static void Write(Utf8JsonWriter json, FeatureDashboard feature)
    {
        json.WriteStartObject();
        json.WriteNumber("feature", feature.Feature);
        json.WriteNumber("density", feature.Density);
        json.WriteNumber("max_activation", feature.MaxActivation);
        json.WriteStartObject("histogram");
        json.WriteNumber("bin_width", feature.Histogram.Width);
        WriteNumbers(json, "counts", feature.Histogram.Counts.Select(count => (double)count));
        json.WriteEndObject();
        json.WriteStartArray("examples");
        foreach (ActivationExample example in feature.Examples)
        {
            json.WriteStartObject();
            json.WriteNumber("text", example.Text);
            json.WriteNumber("position", example.Position);
            json.WriteNumber("activation", example.Activation);
            json.WriteNumber("first", example.First);
            json.WriteStartArray("tokens");
            foreach (string token in example.Tokens) json.WriteStringValue(token);
            json.WriteEndArray();
            WriteNumbers(json, "activations", example.Activations);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        WriteLogits(json, "raised", feature.Raised);
        WriteLogits(json, "lowered", feature.Lowered);
        json.WriteEndObject();
    }

    private static void WriteLogits(Utf8JsonWriter json, string name, IEnumerable<TokenLogit> logits)
    {
        json.WriteStartArray(name);
        foreach (TokenLogit logit in logits)
        {
            json.WriteStartObject();
            json.WriteNumber("id", logit.Id);
            json.WriteString("token", logit.Token);
            json.WriteNumber("effect", logit.Effect);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, IEnumerable<double> numbers)
    {
        json.WriteStartArray(name);
        foreach (double number in numbers) json.WriteNumberValue(number);
        json.WriteEndArray();
    }
}
