<?php
/**
 * Plugin Name: Pages may be shared
 * Description: Tells caches that a page for somebody unknown may be shared for some seconds. WordPress says nothing about it by itself.
 */

// How long, in seconds; 0 leaves WordPress as it comes.
const TENTPOLE_PAGE_SECONDS = @PAGE_SECONDS@;

/**
 * Vary keeps those who log in, comment or open a protected post apart: they carry cookies, and what was stored
 * for visitors without any is not theirs.
 */
add_filter(
	'wp_headers',
	function ( array $headers ): array {
		if ( 0 === TENTPOLE_PAGE_SECONDS || $_COOKIE || is_404() || isset( $headers['Cache-Control'] ) ) {
			return $headers;
		}
		$headers['Cache-Control'] = 'public, max-age=0, s-maxage=' . TENTPOLE_PAGE_SECONDS;
		$headers['Vary']          = 'Cookie';
		return $headers;
	}
);
