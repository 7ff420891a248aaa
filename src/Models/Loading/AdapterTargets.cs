using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Ndif.Models.Config;

namespace Ndif.Models.Loading;

/// <summary>The modules that adapter_config.json gives LoRA's matrices. PEFT does not load matrices of any other module.</summary>
/// <remarks>check_target_module_exists in peft/tuners/tuners_utils.py</remarks>
internal sealed class AdapterTargets
{
    private static readonly TimeSpan _timeout = TimeSpan.FromMilliseconds(500); // for a regular expression of the file

    private readonly Func<string, bool>? _isTarget, _isExcluded;
    private readonly IReadOnlyList<long> _layers;
    private readonly IReadOnlyList<Regex> _layerPatterns;
    private readonly HashSet<string> _fullPaths;

    /// <exception cref="ArgumentException">A regular expression cannot be used.</exception>
    public AdapterTargets(ConfigReader config)
    {
        (_isTarget, _isExcluded) = (ReadModules(config, "target_modules"), ReadModules(config, "exclude_modules"));
        _fullPaths = config.Raw("target_modules") is { ValueKind: JsonValueKind.Array } ? [.. config.Texts("target_modules")] : [];
        _layers = config.Raw("layers_to_transform") is { ValueKind: JsonValueKind.Array } list
            ? [.. list.EnumerateArray().Where(layer => layer.TryGetInt64(out _)).Select(layer => layer.GetInt64())]
            : config.Has("layers_to_transform") ? [config.Integer("layers_to_transform")] : [];
        IReadOnlyList<string> patterns = config.TextOrNull("layers_pattern") is { Length: > 0 } pattern ? [pattern]
            : config.Raw("layers_pattern") is { ValueKind: JsonValueKind.Array } ? config.Texts("layers_pattern") : [];
        _layerPatterns = [.. (patterns.Count > 0 ? patterns : ["[^.]*"])
            .Select(name => new Regex($@"\A.*\.{name}\.(?<layer>\d+)\.", RegexOptions.CultureInvariant, _timeout))];
    }

    /// <summary>Whether PEFT creates matrices for a module.</summary>
    /// <exception cref="RegexMatchTimeoutException">A regular expression of the file takes too long.</exception>
    public bool Contains(string module)
    {
        if (_isExcluded?.Invoke(module) == true) return false;
        if (_isTarget is null) return true; // PEFT has a default for each architecture
        if (!_isTarget(module)) return false;
        if (_layers.Count == 0 || _fullPaths.Count == 0 || _fullPaths.Contains(module)) return true;
        return _layerPatterns.Select(pattern => pattern.Match(module)).FirstOrDefault(match => match.Success) is { } found
            && long.TryParse(found.Groups["layer"].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out long layer)
            && _layers.Contains(layer);
    }

    /// <summary>A text is a regular expression over paths, a list has paths or their ends.</summary>
    private static Func<string, bool>? ReadModules(ConfigReader config, string key)
    {
        if (!config.IsNonEmpty(key)) return null;
        if (config.TextOrNull(key) is not { } pattern)
        {
            IReadOnlyList<string> names = config.Texts(key);
            return module => names.Any(name => module == name || module.EndsWith($".{name}", StringComparison.Ordinal));
        }
        if (pattern.Equals("all-linear", StringComparison.OrdinalIgnoreCase)) return null;
        Regex whole = new($@"\A(?:{pattern})\z", RegexOptions.CultureInvariant, _timeout);
        return whole.IsMatch;
    }
}
