using System.Text.Json;

namespace Ndif.Models.Config;

/// <summary>The classes of a classifier.</summary>
/// <remarks>id2label and num_labels in transformers/configuration_utils.py</remarks>
public static class ClassLabels
{
    private const int DefaultCount = 2, MaxCount = 1 << 20;

    /// <summary>Reads the names of the classes, by index; those without a name are LABEL_0, LABEL_1.</summary>
    /// <exception cref="CheckpointException">BAD_CHECKPOINT: the labels are not numbered from 0.</exception>
    public static IReadOnlyList<string> Read(ConfigReader json)
    {
        if (json.Raw("id2label") is not { ValueKind: JsonValueKind.Object } names)
        {
            int count = json.Size("num_labels", DefaultCount);
            if (count > MaxCount) throw json.InvalidValue("num_labels", $"must be at most {MaxCount}", $"{count}");
            return [.. Enumerable.Range(0, count).Select(label => $"LABEL_{label}")];
        }
        JsonProperty[] entries = [.. names.EnumerateObject()];
        var labels = new string?[entries.Length];
        foreach (JsonProperty entry in entries)
        {
            if (!int.TryParse(entry.Name, out int label) || label < 0 || label >= labels.Length || labels[label] is not null)
                throw json.InvalidValue("id2label", "must number its labels from 0", $"{{\"{entry.Name}\": ...}}");
            labels[label] = entry.Value.ToString();
        }
        return labels.Length > 0 ? labels.OfType<string>().ToArray() : throw json.InvalidValue("id2label", "must have a label", "{}");
    }
}
